# ejabberd as Debian packages it.
ARG BASE_IMAGE=debian:trixie-slim
FROM ${BASE_IMAGE}
RUN printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod 0755 /usr/sbin/policy-rc.d \
 && apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends ejabberd \
 && rm -rf /var/lib/apt/lists/* /var/lib/ejabberd/*
# Schedulers that spin while they wait would count as work.
ENV ERLANG_NODE=ejabberd@localhost ERL_OPTIONS="+sbwt none +sbwtdcpu none +sbwtdio none" ERL_MAX_PORTS=65536
COPY ejabberd.yml /etc/ejabberd/ejabberd.yml
RUN chown -R ejabberd:ejabberd /etc/ejabberd /var/lib/ejabberd && mkdir -p /var/log/ejabberd /run/ejabberd && chown ejabberd /var/log/ejabberd /run/ejabberd
USER ejabberd
ENTRYPOINT ["/usr/sbin/ejabberdctl"]
CMD ["foreground"]
