-- As the other two are set up: roster, offline messages, carbons, stream management; no archive, no limits.
pidfile = "/run/prosody/prosody.pid"
modules_enabled = { "roster", "saslauth", "tls", "disco", "carbons", "smacks", "ping" }
modules_disabled = { "s2s" }
authentication = "internal_hashed"
storage = "internal"
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
certificates = "certs"
ssl = { key = "/bench/tls.key", certificate = "/bench/tls.pem" }
interfaces = { "*" }
log = { error = "*console" }
VirtualHost "localhost"
