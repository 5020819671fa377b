# Two images: `service`, the Python service, and `collector`, the project's own Collector.
# docker build --target service -t charter-otel .

FROM python:3.14-slim-trixie AS service-build
WORKDIR /src
COPY constraints.txt ./
# The venv leaves without pip; the base image has one to install with.
RUN python -m venv --without-pip /opt/charter-otel
# Pins that are not needed cost nothing; what is needed is what the tests ran with.
COPY pyproject.toml README.md LICENSE compose.yaml ./
COPY src ./src
# What `charter-otel assets` writes is in the wheel.
COPY charts ./charts
COPY collector ./collector
COPY dashboards ./dashboards
RUN pip --python /opt/charter-otel/bin/python install --no-cache-dir -c constraints.txt '.[file-configuration,pagerduty]'

FROM python:3.14-slim-trixie AS service
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin charter \
    && install -d -o charter -g charter -m 0700 /var/lib/charter-otel
COPY --from=service-build /opt/charter-otel /opt/charter-otel
ENV PATH=/opt/charter-otel/bin:$PATH PYTHONUNBUFFERED=1 CHARTER_STATE_DIR=/var/lib/charter-otel
USER 10001
EXPOSE 8000
VOLUME /var/lib/charter-otel
ENTRYPOINT ["charter-otel"]
CMD ["serve"]

FROM golang:1.27-alpine AS collector-build
ENV CGO_ENABLED=0
WORKDIR /src
COPY collector/builder.yaml collector/build.sh collector/
RUN sh collector/build.sh

FROM alpine:3.22 AS collector
RUN adduser -D -H -u 10001 collector && install -d -o collector -g collector -m 0700 /var/lib/collector
COPY --from=collector-build /src/build/otelcol-charter /usr/local/bin/otelcol-charter
USER 10001
EXPOSE 4317 4318 8888 8889 13133
VOLUME /var/lib/collector
ENTRYPOINT ["otelcol-charter"]
