# posterkit on a CPU: the package with mini, the server, the print forms. docs/containers.md shows how it is used.
FROM python:3.11-slim-bookworm

# fribidi shapes Arabic and Hebrew in Pillow; the others are OpenCV's and onnxruntime's
RUN apt-get update && apt-get install -y --no-install-recommends libfribidi0 libglib2.0-0 libgomp1 \
    && rm -rf /var/lib/apt/lists/*

ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false
RUN pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu

WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY posterkit posterkit
COPY train train
COPY data_tools data_tools
COPY configs configs
RUN pip install -c constraints.txt ".[print,serve]"

RUN useradd --create-home poster
USER poster
WORKDIR /work
ENTRYPOINT ["posterkit"]
CMD ["--help"]
