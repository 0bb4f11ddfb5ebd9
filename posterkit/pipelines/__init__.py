"""The two pipelines: PosterOmni (image to poster) and PosterCraft (text to poster)."""

import logging

# diffusers imports image processors that neither pipeline uses; transformers would miss torchvision for each of them
logging.getLogger("transformers.utils.import_utils").addFilter(
    lambda record: "requires torchvision" not in record.getMessage()
)
