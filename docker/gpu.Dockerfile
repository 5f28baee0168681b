# Measures sessions on NVIDIA cards: docker build -f docker/gpu.Dockerfile -t stempede:gpu .
# Run with: docker run --gpus all -v /data:/session stempede:gpu run /session/images --out /session/run
FROM nvidia/cuda:13.0.1-runtime-ubuntu24.04
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv gcc python3-dev \
 && rm -rf /var/lib/apt/lists/* \
 && python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /opt/stempede
COPY pyproject.toml README.md LICENSE ./
COPY engine engine
COPY kernels kernels
COPY bench bench
# not under constraints.txt: its torch is pinned for machines without a card
RUN pip install --no-cache-dir ".[gpu]"
WORKDIR /session
ENTRYPOINT ["stempede"]
CMD ["doctor"]
