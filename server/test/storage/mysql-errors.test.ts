import assert from "node:assert/strict";
import { test } from "node:test";
import { breaksConnection, translated, wasBeaten } from "../../src/storage/drivers/mysql/errors.ts";
import { StorageError } from "../../src/storage/specs.ts";

const WHERE = "mysql at db.example.org:3306";

function fromServer(errno: number, message = "the server's words"): Error {
  return Object.assign(new Error(message), { errno, code: "ER_SOMETHING", sqlState: "HY000" });
}

test("what the operator, or a later try, can cure is a StorageError with the server's words and its address", () => {
  // Disk full, table full, engine's error, too many connections, wrong password, lock wait, read-only, read-only
  // transaction, too slow on MariaDB, too slow on MySQL.
  for (const errno of [1021, 1114, 1030, 1040, 1045, 1205, 1290, 1792, 1969, 3024]) {
    const error = translated(fromServer(errno), WHERE);
    assert.ok(error instanceof StorageError, String(errno));
    assert.equal(error.message, `${WHERE}: the server's words`);
    assert.equal(breaksConnection(error), false, String(errno));
  }
});

test("a mistake in a query stays what it is", () => {
  // Syntax, unknown column, duplicate key, a value too long, a foreign key.
  for (const errno of [1064, 1054, 1062, 1406, 1452]) {
    const error = fromServer(errno);
    assert.equal(translated(error, WHERE), error);
    assert.equal(breaksConnection(error), false);
  }
  const mistake = new TypeError("Bind parameters must not contain undefined");
  assert.equal(translated(mistake, WHERE), mistake);
});

test("a connection is given up after the server's last words, and after anything that was no answer of it", () => {
  const lost = Object.assign(new Error("Connection lost"), { code: "PROTOCOL_CONNECTION_LOST", fatal: true });
  const refused = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED", errno: -111 });
  const untrusted = Object.assign(new Error("self-signed certificate"), { code: "DEPTH_ZERO_SELF_SIGNED_CERT" });
  // Shutdown, killed, idle for too long.
  for (const error of [lost, refused, untrusted, fromServer(1053), fromServer(1927), fromServer(4031)]) {
    const outside = translated(error, WHERE);
    assert.ok(outside instanceof StorageError, error.message);
    assert.equal(breaksConnection(outside), true, error.message);
  }
});

test("a refusal of our own breaks no connection, and is not changed", () => {
  const refusal = new StorageError("a value of notes is 41 bytes; at most 40 are kept");
  assert.equal(translated(refusal, WHERE), refusal);
  assert.equal(breaksConnection(refusal), false);
});

test("a name with several addresses that all fail is told with the words of each", () => {
  const each = ["connect ECONNREFUSED ::1:3306", "connect ECONNREFUSED 127.0.0.1:3306"].map(
    (words) => new Error(words),
  );
  const error = translated(new AggregateError(each), WHERE);
  assert.ok(error instanceof StorageError);
  assert.equal(error.message, `${WHERE}: ${each.map(({ message }) => message).join("; ")}`);
});

test("only a deadlock, or a row that changed meanwhile, is tried again at once", () => {
  for (const errno of [1213, 1020]) assert.ok(wasBeaten(translated(fromServer(errno), WHERE)));
  for (const errno of [1205, 1040, 1064]) assert.ok(!wasBeaten(translated(fromServer(errno), WHERE)));
});
