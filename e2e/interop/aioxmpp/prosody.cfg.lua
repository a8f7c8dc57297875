-- With all that aioxmpp's suite asks for and Prosody ships.
pidfile = "/run/prosody/prosody.pid"
modules_enabled = {
  "roster", "saslauth", "tls", "disco", "carbons", "smacks", "ping", "private", "blocklist", "version", "time", "uptime",
  "vcard4", "pep", "csi_simple", "register", "admin_adhoc",
}
modules_disabled = { "s2s" }
authentication = "internal_hashed"
storage = "internal"
certificates = "certs"
ssl = { key = "/suite-tls/tls.key", certificate = "/suite-tls/tls.pem" }
interfaces = { "*" }
log = { error = "*console" }
VirtualHost "localhost"
Component "muc.localhost" "muc"
Component "pubsub.localhost" "pubsub"
  default_unowned_affiliation = "owner"
