/** RFC 4648 4, padded and without line breaks. */
export function encodeBase64(data: Uint8Array): string {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64");
}

/** Undefined for anything but what `encodeBase64` writes: white space, missing padding and stray bits included. */
export function decodeBase64(text: string): Uint8Array | undefined {
  const data = Buffer.from(text, "base64");
  return data.toString("base64") === text ? data : undefined;
}
