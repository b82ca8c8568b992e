#!/bin/sh
# What the image is made of, as the Dockerfile and `make image-check` both install it.
#
#   install.sh dependencies ENVIRONMENT    a virtual environment with requirements/image.txt, each file by its hash
#   install.sh project ENVIRONMENT         the wheel of this tree, built and put into it
#
# Run from the root of the tree. PYTHON names the interpreter (python3).
set -eu

step=$1
environment=$2
pip() { "$environment/bin/python" -m pip --disable-pip-version-check --no-cache-dir --quiet "$@"; }

case $step in
dependencies)
  "${PYTHON:-python3}" -m venv "$environment"
  pip install --require-hashes --only-binary :all: -r requirements/image.txt
  ;;
project)
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  # The build tools are no part of the image.
  "${PYTHON:-python3}" -m venv "$scratch/tools"
  "$scratch/tools/bin/python" -m pip --disable-pip-version-check --no-cache-dir --quiet \
    install --require-hashes --only-binary :all: -r requirements/build.txt
  "$scratch/tools/bin/python" -m pip --disable-pip-version-check --no-cache-dir --quiet \
    wheel --no-deps --no-build-isolation --wheel-dir "$scratch" .
  pip install --no-deps "$scratch"/*.whl
  pip check
  # What installs stays behind.
  pip uninstall --yes setuptools pip
  ;;
*)
  echo "install.sh: there is dependencies and project, not $step" >&2
  exit 2
  ;;
esac
