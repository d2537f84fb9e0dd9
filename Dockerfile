# One image with every binary, in /bulkhead/.
#
#   docker build -t ghcr.io/bulkhead-dev/bulkhead:0.1.0 .
#   docker build --build-arg BASE=scratch -t … .
#
# `make images` makes the same without a container engine.
ARG BUILDER=golang:1.26
ARG BASE=gcr.io/distroless/static:nonroot

FROM --platform=$BUILDPLATFORM ${BUILDER} AS build
WORKDIR /src
# Modules first: they change less often than the code.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS
ARG TARGETARCH
# The chart's appVersion if empty.
ARG VERSION
RUN GOOS=${TARGETOS} GOARCH=${TARGETARCH} VERSION=${VERSION} hack/build /out/bulkhead

FROM ${BASE}
# A scratch base has no roots of its own, and an issuer with a public
# certificate is verified by the system's.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/bulkhead/ /bulkhead/
# By number, since scratch has no /etc/passwd and Kubernetes checks
# runAsNonRoot by number.
USER 65532:65532
