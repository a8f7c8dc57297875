/** What Riak says of an object, header by header. */
import type { IncomingMessage } from "node:http";
import { type Content, type StoredObject, vclockOf } from "./riak-double-objects.ts";

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export const NOT_FOUND = { status: 404, headers: { "content-type": "text/plain" }, body: "not found\n" };

export function contentOf(headers: IncomingMessage["headers"], body: string): Content {
  const kept = Object.entries(headers).filter(([name]) => /^x-riak-(meta|index)-/.test(name));
  return { body, type: headers["content-type"] ?? "", headers: new Map(kept as [string, string][]) };
}

export function shown(bucket: string, object: StoredObject | undefined, accept = "*/*"): Answer {
  if (object === undefined) return NOT_FOUND;
  const headers: Record<string, string> = { "x-riak-vclock": vclockOf(object) };
  const [only, ...others] = object.siblings;
  if (object.siblings.every(({ content }) => content === undefined)) {
    return { ...NOT_FOUND, headers: { ...NOT_FOUND.headers, ...headers, "x-riak-deleted": "true" } };
  }
  headers["last-modified"] = object.siblings.at(-1)?.modified.toUTCString() ?? "";
  if (only?.content !== undefined && others.length === 0) {
    const { type, body, headers: own } = only.content;
    headers.etag = `"${only.etag}"`;
    return { status: 200, headers: { ...Object.fromEntries(own), ...headers, "content-type": type }, body };
  }
  headers.etag = `"siblings${object.count}"`;
  if (!accept.includes("multipart/mixed")) {
    const body = `Siblings:\n${object.siblings.map(({ etag }) => `${etag}\n`).join("")}`;
    return { status: 300, headers: { ...headers, "content-type": "text/plain" }, body };
  }
  const boundary = `boundary${object.count}`;
  const link = `Link: </buckets/${bucket.split("/")[1]}>; rel="up"`;
  const parts = object.siblings.map(({ content, etag, modified }) => {
    const lines = [
      `Content-Type: ${content?.type ?? "application/x-erlang-binary"}`,
      link,
      `Etag: ${etag}`,
      `Last-Modified: ${modified.toUTCString()}`,
      ...(content === undefined ? ["X-Riak-Deleted: true"] : []),
      ...[...(content?.headers ?? [])].map(([name, value]) => `${name}: ${value}`),
    ];
    return `\r\n--${boundary}\r\n${lines.join("\r\n")}\r\n\r\n${content?.body ?? ""}`;
  });
  const body = `${parts.join("")}\r\n--${boundary}--\r\n`;
  return { status: 300, headers: { ...headers, "content-type": `multipart/mixed; boundary=${boundary}` }, body };
}
