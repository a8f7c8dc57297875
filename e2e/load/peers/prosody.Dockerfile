# Prosody as Debian packages it, with the packages it recommends for speed.
ARG BASE_IMAGE=debian:trixie-slim
FROM ${BASE_IMAGE}
RUN printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod 0755 /usr/sbin/policy-rc.d \
 && apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends prosody lua-event lua-sec \
 && rm -rf /var/lib/apt/lists/*
COPY prosody.cfg.lua /etc/prosody/prosody.cfg.lua
RUN mkdir -p /run/prosody && chown -R prosody:prosody /run/prosody /var/lib/prosody
USER prosody
ENTRYPOINT ["/usr/bin/prosody", "-F"]
