import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";

const SOURCE = resolve(import.meta.dirname, "..");

// The scripts work on the folder that they stand in, so a copy of them has .secrets of its own.
let root: string;

function run(script: string, env: Record<string, string> = {}): string {
  return execFileSync(join(root, "scripts", script), {
    encoding: "utf8",
    stdio: "pipe",
    env: { ...process.env, EXTRA_NAMES: "", SECRETS_DIR: ".secrets", ...env },
  });
}

function openssl(...args: string[]): string {
  return execFileSync("openssl", args, { encoding: "utf8", stdio: "pipe", cwd: join(root, ".secrets/tls") });
}

before(() => {
  root = mkdtempSync(join(tmpdir(), "meerkat-scripts-"));
  for (const name of ["lib.sh", "secrets", "certificates"]) cpSync(join(SOURCE, name), join(root, "scripts", name));
  writeFileSync(join(root, ".env.example"), "");
});
after(() => rmSync(root, { recursive: true, force: true }));

describe("secrets", () => {
  const read = () => {
    const folder = join(root, ".secrets");
    const names = readdirSync(folder, { withFileTypes: true }).filter((each) => each.isFile());
    return Object.fromEntries(names.map(({ name }) => [name, readFileSync(join(folder, name), "utf8")]));
  };

  it("generates each once, differing, of at least 96 bits, with no newline", () => {
    const printed = run("secrets");
    const values = Object.values(read());
    assert.equal(values.length, 20);
    assert.equal(new Set(values).size, 20);
    for (const value of values) {
      assert.match(value, /^[0-9a-f]{24,}$/);
      assert.ok(!printed.includes(value));
    }
  });

  it("keeps them when run again, and makes only the one that is missing", () => {
    const first = read();
    run("secrets");
    assert.deepEqual(read(), first);
    rmSync(join(root, ".secrets/turn_secret"));
    run("secrets");
    const { turn_secret: next, ...rest } = read();
    assert.notEqual(next, first.turn_secret);
    assert.deepEqual({ ...rest, turn_secret: first.turn_secret }, first);
  });

  it("lets only the owner into the folder, whatever its mode was", () => {
    chmodSync(join(root, ".secrets"), 0o755);
    run("secrets");
    assert.equal(statSync(join(root, ".secrets")).mode & 0o777, 0o700);
    assert.equal(statSync(join(root, ".secrets/turn_secret")).mode & 0o777, 0o444);
  });
});

describe("certificates", () => {
  const serial = (file: string) => openssl("x509", "-in", `${file}.pem`, "-noout", "-serial");

  it("are signed by the CA and valid for their names, in at most 825 days", () => {
    run("certificates");
    for (const [file, host] of [
      ["meerkat", "corp.meerkat.localhost"],
      ["edge", "ops.meerkat.localhost"],
      ["turn", "meerkat.localhost"],
      ["ldap", "openldap"],
      ["ldap", "openldap-2"],
      ["postgres", "postgres"],
      ["postgres", "postgres-2"],
      ["etcd", "etcd-3"],
    ] as const) {
      openssl("verify", "-CAfile", "ca.pem", "-purpose", "sslserver", "-verify_hostname", host, `${file}.pem`);
      assert.throws(() => openssl("verify", "-CAfile", "ca.pem", "-verify_hostname", "example.org", `${file}.pem`));
      assert.match(
        openssl("x509", "-in", `${file}.pem`, "-noout", "-checkend", String(824 * 86400)),
        /will not expire/,
      );
      assert.throws(() => openssl("x509", "-in", `${file}.pem`, "-noout", "-checkend", String(826 * 86400)));
    }
  });

  it("have the key that belongs to them", () => {
    for (const [file, key] of [
      ["meerkat", "meerkat.key"],
      ["edge", "edge.pem"],
    ] as const) {
      assert.equal(openssl("pkey", "-in", key, "-pubout"), openssl("x509", "-in", `${file}.pem`, "-noout", "-pubkey"));
    }
  });

  it("come from a CA that can sign no name outside", () => {
    writeFileSync(join(root, "forged.ext"), "subjectAltName=DNS:bank.example");
    openssl(
      "req",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-keyout",
      "forged.key",
      "-subj",
      "/CN=x",
      "-out",
      "forged.csr",
    );
    openssl(
      "x509",
      "-req",
      "-in",
      "forged.csr",
      "-CA",
      "ca.pem",
      "-CAkey",
      "ca.key",
      "-extfile",
      join(root, "forged.ext"),
      "-out",
      "forged.pem",
    );
    assert.throws(() => openssl("verify", "-CAfile", "ca.pem", "forged.pem"), /permitted subtree violation/);
  });

  it("are kept when run again", () => {
    const first = ["ca", "meerkat", "edge"].map(serial);
    assert.match(run("certificates"), /kept/);
    assert.deepEqual(["ca", "meerkat", "edge"].map(serial), first);
  });

  it("are issued anew when a name is missing or they run out within 30 days", () => {
    const ca = serial("ca");
    const self = ["-subj", "/CN=x", "-key", "turn.key", "-out", "turn.csr"];
    openssl("req", "-new", ...self);
    writeFileSync(
      join(root, "short.ext"),
      "subjectAltName=DNS:meerkat.localhost,DNS:turn.meerkat.localhost,DNS:coturn,DNS:localhost,IP:127.0.0.1",
    );
    rmSync(join(root, ".secrets/tls/turn.pem"));
    openssl(
      "x509",
      "-req",
      "-in",
      "turn.csr",
      "-CA",
      "ca.pem",
      "-CAkey",
      "ca.key",
      "-days",
      "29",
      "-extfile",
      join(root, "short.ext"),
      "-out",
      "turn.pem",
    );
    assert.match(run("certificates"), /issued for 825 days: turn$/m);
    // A container that has the file mounted would not see another one in its place.
    const places = () =>
      ["meerkat.pem", "meerkat.key", "edge.pem"].map((name) => statSync(join(root, ".secrets/tls", name)).ino);
    const before = places();
    assert.match(run("certificates", { EXTRA_NAMES: "chat.localhost" }), /issued for 825 days: meerkat edge turn$/m);
    assert.deepEqual(places(), before);
    assert.equal(serial("ca"), ca);
  });

  it("refuse a name that the CA may not sign, with the remedy, and keep what is there", () => {
    const before = serial("edge");
    assert.throws(() => run("certificates", { EXTRA_NAMES: "chat.example" }), /make down VOLUMES=1/);
    assert.equal(serial("edge"), before);
  });

  it("come from a CA that learns the names of services it was not made for, with the same key", () => {
    const names = () => openssl("x509", "-in", "ca.pem", "-noout", "-ext", "nameConstraints");
    const key = () => openssl("x509", "-in", "ca.pem", "-noout", "-pubkey");
    const [wanted, keyBefore] = [names(), key()];
    // A CA of the time before there was etcd, and a name of the operator's.
    const subject = openssl("x509", "-in", "ca.pem", "-noout", "-subject")
      .trim()
      .replace(/^subject=CN ?= ?/, "/CN=");
    const old = ["localhost", "openldap", "postgres", "coturn", "haproxy", "chat.example"];
    const constraints = [...old.map((name) => `permitted;DNS:${name}`), "permitted;IP:127.0.0.0/255.0.0.0"].join(",");
    openssl(
      ...["req", "-x509", "-key", "ca.key", "-days", "100", "-subj", subject, "-out", "old.pem"],
      ...["-addext", "basicConstraints=critical,CA:true,pathlen:0"],
      ...["-addext", `nameConstraints=critical,${constraints}`],
    );
    chmodSync(join(root, ".secrets/tls/ca.pem"), 0o644);
    writeFileSync(join(root, ".secrets/tls/ca.pem"), readFileSync(join(root, ".secrets/tls/old.pem")));
    const place = statSync(join(root, ".secrets/tls/ca.pem")).ino;
    assert.throws(() => openssl("verify", "-CAfile", "ca.pem", "etcd.pem"), /permitted subtree violation/);
    assert.match(run("certificates"), /issued for 825 days: ca$/m);
    for (const file of ["etcd", "postgres", "meerkat", "edge"]) openssl("verify", "-CAfile", "ca.pem", `${file}.pem`);
    assert.equal(key(), keyBefore);
    assert.equal(statSync(join(root, ".secrets/tls/ca.pem")).ino, place);
    const lines = (text: string) =>
      new Set(
        text
          .trim()
          .split("\n")
          .map((line) => line.trim()),
      );
    assert.deepEqual(lines(names()), lines(`${wanted.trim()}\nDNS:chat.example`));
    assert.match(run("certificates"), /kept/);
  });

  it("never replace half a CA", () => {
    rmSync(join(root, ".secrets/tls/ca.key"));
    assert.throws(() => run("certificates"), /half of the CA is missing/);
  });
});
