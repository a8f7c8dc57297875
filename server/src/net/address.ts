import { BlockList, isIP, isIPv6 } from "node:net";

/**
 * One spelling per IP address: IPv6 as in RFC 5952, IPv4 that came as `::ffff:192.0.2.1` as plain IPv4, no zone (`%eth0`).
 * What is no address comes back as it is.
 */
export function plainAddress(address: string): string {
  const zone = address.indexOf("%");
  const bare = zone === -1 ? address : address.slice(0, zone);
  if (!isIPv6(bare)) return address;
  const canonical = new URL(`http://[${bare}]`).hostname.slice(1, -1);
  const [, high, low] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(canonical) ?? [];
  if (high === undefined || low === undefined) return canonical;
  const bits = Number.parseInt(high, 16) * 0x10000 + Number.parseInt(low, 16);
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 0xff).join(".");
}

/** A set of networks, written as CIDR or as single addresses. Throws a RangeError that names the wrong entry. */
export class Networks {
  readonly #list = new BlockList();

  constructor(cidrs: readonly string[]) {
    for (const cidr of cidrs) {
      const [address = "", prefix, ...rest] = cidr.split("/");
      const family = isIP(address);
      const bits = prefix === undefined ? (family === 4 ? 32 : 128) : /^\d{1,3}$/.test(prefix) ? Number(prefix) : -1;
      if (family === 0 || rest.length > 0 || bits < 0 || bits > (family === 4 ? 32 : 128)) {
        throw new RangeError(`not a network: ${cidr}`);
      }
      this.#list.addSubnet(address, bits, family === 4 ? "ipv4" : "ipv6");
    }
  }

  has(address: string): boolean {
    const plain = plainAddress(address);
    const family = isIP(plain);
    return family !== 0 && this.#list.check(plain, family === 4 ? "ipv4" : "ipv6");
  }
}

/** Counts what each client address holds; for IPv6 all of a /64 counts as one, since one customer has it all. */
export class Tally {
  readonly max: number;
  readonly #held = new Map<string, number>();

  constructor(max: number) {
    this.max = max;
  }

  /** Counts one more and gives the function that counts it off; undefined when the address holds `max` already. */
  enter(address: string): (() => void) | undefined {
    const key = limitKey(address);
    const held = this.#held.get(key) ?? 0;
    if (held >= this.max) return undefined;
    this.#held.set(key, held + 1);
    return () => {
      const left = (this.#held.get(key) ?? 1) - 1;
      if (left === 0) this.#held.delete(key);
      else this.#held.set(key, left);
    };
  }
}

function limitKey(address: string): string {
  if (isIP(address) !== 6) return address;
  const [head = "", tail] = address.split("::");
  const left = head === "" ? [] : head.split(":");
  // Fewer than four groups before the "::" only leave zeros, unless the tail reaches into the first half.
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length);
  const groups = [...left, ...Array<string>(zeros).fill("0"), ...right];
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":")}::/64`;
}

/**
 * The client behind trusted proxies: going from the nearest hop outwards, the first one that no proxy of ours is.
 * `peer` is who holds the socket; a hop that is no address ends the walk.
 */
export function forwardedAddress(peer: string, forwardedFor: string | undefined, trusted: Networks): string {
  const hops = forwardedFor === undefined ? [] : forwardedFor.split(",").map((hop) => plainAddress(hop.trim()));
  let client = plainAddress(peer);
  while (trusted.has(client)) {
    const hop = hops.pop();
    if (hop === undefined || isIP(hop) === 0) break;
    client = hop;
  }
  return client;
}
