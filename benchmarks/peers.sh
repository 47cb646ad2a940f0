#!/usr/bin/env bash
# Makes one virtual environment per peer: benchmarks/peers.sh FOLDER [opennmt sockeye joeynmt huggingface]
#
# Then: export POLYHEAD_PEERS=FOLDER. The peers' own torch pins are years old (OpenNMT-py asks for
# torch < 2.3, Sockeye for < 1.14), so torch comes first, the peer without its dependencies, and
# then what it really imports: all systems run on the same torch.
set -euo pipefail

folder=${1:?usage: benchmarks/peers.sh FOLDER [opennmt sockeye joeynmt huggingface]}
shift
peers=("$@")
[ ${#peers[@]} -gt 0 ] || peers=(opennmt sockeye joeynmt huggingface)
python=${PYTHON:-python3.11}
torch='torch>=2.11,<2.14'

for peer in "${peers[@]}"; do
  echo "== $peer" >&2
  "$python" -m venv "$folder/$peer"
  pip=("$folder/$peer/bin/python" -m pip install --quiet)
  "${pip[@]}" "$torch"
  case $peer in
    opennmt)
      "${pip[@]}" --no-deps 'OpenNMT-py==3.5.1'
      "${pip[@]}" --only-binary :all: numpy configargparse pyyaml six sacrebleu \
        pyonmttok rapidfuzz pyahocorasick spacy fasttext-wheel ;;
    sockeye)
      "${pip[@]}" --no-deps 'sockeye==3.1.34'
      "${pip[@]}" 'numpy<2' pyyaml sacrebleu ;;
    joeynmt)
      "${pip[@]}" --no-deps 'joeynmt==2.3.0'
      "${pip[@]}" numpy pyyaml sacrebleu packaging importlib_metadata tensorboard matplotlib \
        sentencepiece subword-nmt sacremoses datasets ;;
    huggingface)
      "${pip[@]}" "$torch" 'transformers>=5.23,<6' 'ctranslate2>=4.8.5,<5' \
        'tokenizers>=0.23.1,<0.24' 'sacrebleu>=2.6,<3' ;;
    *) echo "unknown peer: $peer" >&2; exit 2 ;;
  esac
  "$folder/$peer/bin/python" -c 'import torch; print("torch", torch.__version__)' >&2
done
