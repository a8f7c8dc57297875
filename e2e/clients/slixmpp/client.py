"""Logs in with STARTTLS, certificate verified, says hello to one JID and echoes what it is sent. The JID, the password
and the peer come by the environment; each step is one line on standard output."""

import os
import signal
import ssl

import slixmpp


class Client(slixmpp.ClientXMPP):
    def __init__(self, jid: str, password: str, peer: str) -> None:
        super().__init__(jid, password)
        self.peer = peer
        self.enable_direct_tls = False
        self.add_event_handler("session_start", self.begin)
        self.add_event_handler("message", self.echo)
        self.add_event_handler("failed_auth", self.refused)
        self.add_event_handler("ssl_invalid_chain", lambda _: self.fail("no trust"))
        self.add_event_handler("connection_failed", lambda why: self.fail(f"no connection: {why}"))

    def get_ssl_context(self) -> ssl.SSLContext:
        context = super().get_ssl_context()
        # The site's own authority, and the name must fit. Without CA there are the public ones only.
        if os.environ.get("CA"):
            context.load_verify_locations(os.environ["CA"])
        context.verify_mode = ssl.CERT_REQUIRED
        context.check_hostname = True
        return context

    async def begin(self, _event: object) -> None:
        self.send_presence()
        await self.get_roster()
        print(f"online {self.boundjid.full}", flush=True)
        self.send_message(mto=self.peer, mbody="hello from slixmpp", mtype="chat")

    def refused(self, failure: object) -> None:
        # A mechanism that the client cannot do after all is no last word: it tries the next one.
        if failure["condition"] == "not-authorized":
            self.fail("not authorized")

    def echo(self, message: slixmpp.Message) -> None:
        if message["type"] in ("chat", "normal"):
            print(f"received {message['body']}", flush=True)
            message.reply(f"echo: {message['body']}").send()

    def fail(self, why: str) -> None:
        print(f"failed {why}", flush=True)
        self.loop.stop()


client = Client(os.environ["JID"], os.environ["PASSWORD"], os.environ["PEER"])
# Its resolver takes every name under .localhost for this container, so the way to the domain is told.
client.connect(os.environ["HOST"], 5222)
client.loop.run_forever()
# Whoever waits for what was said last reads it from a container that still runs.
signal.pause()
