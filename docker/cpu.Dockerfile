# Measures sessions without a GPU: docker build -f docker/cpu.Dockerfile -t stempede:cpu .
FROM python:3.12-slim
WORKDIR /opt/stempede
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY engine engine
COPY kernels kernels
COPY bench bench
RUN pip install --no-cache-dir . --constraint constraints.txt
WORKDIR /session
ENTRYPOINT ["stempede"]
CMD ["--help"]
