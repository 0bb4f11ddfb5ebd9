"""From finished posters to the six PosterOmni tasks: segmentation, removal, and a builder for each task."""
