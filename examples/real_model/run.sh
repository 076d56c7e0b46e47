#!/bin/sh
# The map of one real model, from nothing to table and picture, in a store of its own in FOLDER:
#
#     sh examples/real_model/run.sh [FOLDER]
#
# Needs what prepare.py needs, and mlflow-modelmap[quantization]. PYTHON and LLAMA_QUANTIZE name the
# two programs where they are not on the PATH. Started again, it goes on where it was.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:-.cache/real_model}
python=$("${PYTHON:-python}" -c 'import sys; print(sys.executable)')

"$python" "$here/prepare.py" "$folder" ${LLAMA_QUANTIZE:+--llama-quantize "$LLAMA_QUANTIZE"}

cd "$folder"
MLFLOW_TRACKING_URI=sqlite:///mlflow.db
MLFLOW_EXPERIMENT_NAME=real-model
export MLFLOW_TRACKING_URI MLFLOW_EXPERIMENT_NAME
modelmap() {
    echo "\$ modelmap $*"
    "$python" -m mlflow_modelmap "$@"
}

modelmap sweep "$here/plan.yaml"
modelmap map
modelmap quantization --exact --exact-texts 16
modelmap compare float32 bfloat16 --exact --exact-texts 16
modelmap compare float32 "LoRA on Python code" --exact --exact-texts 16
modelmap layers

# What prompts do to it, on questions and answers: in an experiment of its own.
MLFLOW_EXPERIMENT_NAME=real-model-prompts
for prompt in "" "Answer briefly." "Talk like a pirate." "Answer briefly. Talk like a pirate." \
    "You are a helpful assistant."; do
    modelmap score SmolLM2-135M-Instruct --texts python-qa:80 --precision float32 \
        --name "${prompt:-its own}" ${prompt:+--system-prompt "$prompt"}
done
modelmap prompts
MLFLOW_EXPERIMENT_NAME=real-model

"$python" "$here/report.py" .
