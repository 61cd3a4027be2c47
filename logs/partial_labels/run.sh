#!/usr/bin/env bash
# The experiment of partial labels, whole: data, trainings, tests, table. About two hours on 2 cores.
# From the repository's root:
#   bash logs/partial_labels/run.sh data
#   for seed in 0 1 2; do
#     bash logs/partial_labels/run.sh variants digits $seed
#     bash logs/partial_labels/run.sh variants bccd $seed
#     bash logs/partial_labels/run.sh background $seed
#   done
# Needs: runs/data/coco_ssd_mobilenet_v1/model.ckpt (TF1 checkpoint of COCO), $BCCD (the data set's folder).
set -eu
PY=${PY:-python}
OUT=runs/partial
HERE=logs/partial_labels
DIGITS=0,1,2,3,4:4,5,6,7,8,9
CELLS=RBC:WBC,Platelets

# partial NAME LABEL_MAP GROUPS: NAME_complete.record -> NAME_partial.record
partial() {
  $PY tools/make_partial_labels.py --input_path=$OUT/$1_complete.record --label_map_path=$2 \
    --groups="${3%%:*}" --groups="${3##*:}" --output_path=$OUT/$1_partial.record
}

data() {
  mkdir -p $OUT
  for set in trainval test; do
    $PY tools/create_seven_segment_tf_record.py --output_dir=$OUT/digits_$set --width=128 --height=128 \
      --min_digits=2 --max_digits=4 --num_train=1600 --num_eval=200 --seed=$([ $set = test ] && echo 1 || echo 0)
  done
  cp $OUT/digits_trainval/label_map.pbtxt $OUT/digits_label_map.pbtxt
  mv $OUT/digits_trainval/digits_train.record $OUT/digits_complete.record
  mv $OUT/digits_trainval/digits_eval.record $OUT/digits_val.record
  mv $OUT/digits_test/digits_eval.record $OUT/digits_test.record
  for set in train val test; do
    $PY tools/create_pascal_tf_record.py --data_dir="$BCCD" --set=$set \
      --label_map_path=configs/bccd_label_map.pbtxt --output_path=$OUT/bccd_$set.record
  done
  mv $OUT/bccd_train.record $OUT/bccd_complete.record
  partial digits $OUT/digits_label_map.pbtxt $DIGITS
  partial bccd configs/bccd_label_map.pbtxt $CELLS
}

# train DATA VARIANT SEED RECORD OVERRIDE...: trains, then tests the last checkpoint and the best.
train() {
  local data=$1 dir=$OUT/runs/$1_$2_seed$3 seed=$3 record=$4
  shift 4
  [ -e $dir/done ] && return
  local overrides=(--config_override=train_input_reader.tf_record_input_reader.input_path=$record)
  for override in "$@"; do overrides+=(--config_override=$override); done
  local common=(--pipeline_config_path=$HERE/$data.config --seed=$seed "${overrides[@]}")
  local every=1000
  [ $data = bccd ] && every=150
  $PY tools/model_main_tf2.py "${common[@]}" --model_dir=$dir --checkpoint_every_n=$every \
    --checkpoint_max_to_keep=9
  for step in $($PY -c "
import json
lines = [json.loads(line) for line in open('$dir/eval/metrics.jsonl')]
best = max(lines, key=lambda line: line['metrics']['DetectionBoxes_Precision/mAP'])
print(*sorted({best['step'], lines[-1]['step']}))"); do
    $PY tools/model_main_tf2.py "${common[@]}" --model_dir=$dir/test --checkpoint_dir=$dir/ckpt-$step \
      --config_override=eval_input_reader.tf_record_input_reader.input_path=$OUT/${data}_test.record
  done
  touch $dir/done
}

# variants DATA SEED
variants() {
  local data=$1 seed=$2 map=$OUT/digits_label_map.pbtxt
  local loss=model.ssd.loss.partial_labels partial=$OUT/$1_partial.record
  [ $data = bccd ] && map=configs/bccd_label_map.pbtxt
  train $data complete $seed $OUT/${data}_complete.record
  train $data naive $seed $partial $loss=NAIVE
  train $data masked $seed $partial
  local filled=$OUT/${data}_filled_seed$seed.record
  [ -e $filled ] || $PY tools/pseudo_label.py --pipeline_config_path=$HERE/$data.config \
    --checkpoint=$OUT/runs/${data}_masked_seed$seed --label_map_path=$map --input_path=$partial \
    --validation_path=$OUT/${data}_val.record --output_path=$filled
  train $data masked+pseudo $seed $filled
}

# The background column: with an answer of its own (1 on negatives), masked and not.
background() {
  local loss=model.ssd.loss.partial_labels own=model.ssd.encode_background_as_zeros=false
  train digits background1_masked $1 $OUT/digits_partial.record $own
  train digits background1_always $1 $OUT/digits_partial.record $own $loss=MASKED_BUT_BACKGROUND
}

"$@"
