#!/usr/bin/env bash
# Evaluates public COCO weights: run.sh CHECKPOINT_DIR IMAGE_DIR ANNOTATIONS_FILE
set -eu
root="$(dirname "$0")/../.."
config="$root/ssd_tf/configs/ssd_mobilenet_v1_0.75_300x300_coco.config"
out=runs/coco_weights
reader='eval_input_reader[0]'

mkdir -p "$out"
python "$root/tools/create_coco_tf_record.py" --image_dir="$2" --annotations_file="$3" \
  --output_path="$out/coco.record" --label_map_output_path="$out/label_map.pbtxt"
for half_pixel_centers in false true; do
  python "$root/tools/model_main_tf2.py" --pipeline_config_path="$config" \
    --model_dir="$out/$half_pixel_centers" --checkpoint_dir="$1" --eval_timeout=0 \
    --config_override="$reader.label_map_path=$out/label_map.pbtxt" \
    --config_override="$reader.tf_record_input_reader.input_path=$out/coco.record" \
    --config_override="model.ssd.image_resizer.fixed_shape_resizer.half_pixel_centers=$half_pixel_centers"
done
grep -ho '"DetectionBoxes_Precision/mAP[^,]*' "$out"/*/eval/metrics.jsonl
