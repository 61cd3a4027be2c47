#!/usr/bin/env bash
# The data of the experiment of partial labels. From the repository's root:
#   BCCD=<the data set's folder> bash logs/partial_labels/data.sh
set -eu
PY=${PY:-python}
OUT=runs/partial
DIGITS=0,1,2,3,4:4,5,6,7,8,9
CELLS=RBC:WBC,Platelets

# partial NAME LABEL_MAP GROUPS: NAME_complete.record -> NAME_partial.record
partial() {
  $PY tools/make_partial_labels.py --input_path=$OUT/$1_complete.record --label_map_path=$2 \
    --groups="${3%%:*}" --groups="${3##*:}" --output_path=$OUT/$1_partial.record
}

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
    --label_map_path=ssd_tf/configs/bccd_label_map.pbtxt --output_path=$OUT/bccd_$set.record
done
mv $OUT/bccd_train.record $OUT/bccd_complete.record
partial digits $OUT/digits_label_map.pbtxt $DIGITS
partial bccd ssd_tf/configs/bccd_label_map.pbtxt $CELLS
