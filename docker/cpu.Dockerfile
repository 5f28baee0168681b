# Measures sessions without a GPU: docker build -f docker/cpu.Dockerfile -t stempede:cpu .
FROM python:3.12-slim-bookworm AS build
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /opt/stempede
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY engine engine
COPY kernels kernels
COPY bench bench
RUN pip install --no-cache-dir ".[torch]" --constraint constraints.txt

FROM python:3.12-slim-bookworm
# compiled kernels are kept in the home: it must be writable, the venv need not be
RUN useradd --create-home --uid 1000 stempede && install -d -o stempede /session
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
ENV HOME=/home/stempede
USER 1000
WORKDIR /session
VOLUME /session
ENTRYPOINT ["stempede"]
CMD ["doctor"]
