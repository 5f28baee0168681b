# Measures sessions on NVIDIA cards: docker build -f docker/gpu.Dockerfile -t stempede:gpu .
# With cuML and one worker per card: --build-arg EXTRAS=gpu,rapids
FROM nvidia/cuda:13.0.1-runtime-ubuntu24.04 AS build
ARG EXTRAS=gpu
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /opt/stempede
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY engine engine
COPY kernels kernels
COPY bench bench
# under the same constraints but for what RAPIDS and the card decide
RUN grep -vE '^(torch|triton|numba|llvmlite|pandas|numpy|dask|distributed)==' constraints.txt > gpu.txt \
 && pip install --no-cache-dir ".[${EXTRAS}]" --constraint gpu.txt

FROM nvidia/cuda:13.0.1-runtime-ubuntu24.04
# Triton compiles its launcher with the C compiler of the machine it runs on
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-dev gcc \
 && rm -rf /var/lib/apt/lists/* \
 && userdel --remove ubuntu \
 && useradd --create-home --uid 1000 stempede \
 && install -d -o stempede /session
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
ENV HOME=/home/stempede
USER 1000
WORKDIR /session
VOLUME /session
ENTRYPOINT ["stempede"]
CMD ["doctor"]
