/** An XMPP address whose parts are already prepared (RFC 7622). Compare `full` or `bare`, never parts by hand. */
export class Jid {
  readonly local: string;
  readonly domain: string;
  readonly resource: string;
  readonly bare: string;
  readonly full: string;

  /** Takes prepared parts as they are; `parseJid` takes a peer's text. */
  constructor(local: string, domain: string, resource = "") {
    this.local = local;
    this.domain = domain;
    this.resource = resource;
    this.bare = local === "" ? domain : `${local}@${domain}`;
    this.full = resource === "" ? this.bare : `${this.bare}/${resource}`;
  }

  get isBare(): boolean {
    return this.resource === "";
  }

  toBare(): Jid {
    return this.resource === "" ? this : new Jid(this.local, this.domain);
  }

  withResource(resource: string): Jid {
    return new Jid(this.local, this.domain, resource);
  }

  toString(): string {
    return this.full;
  }
}
