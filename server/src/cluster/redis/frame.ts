/**
 * What goes over a node's channel: one frame, many messages.
 *
 *   M1 node link first count \n  then for each message:  channel-length message-length \n channel message
 *
 * Lengths count UTF-16 units, so both sides only slice strings. `link` names one life of the sender's queue to this node and
 * `first` numbers the frame's first message within it, counting from 1: enough to see what is missing and what came twice.
 * Words after the fifth are ignored, which leaves room to acknowledge.
 */

export interface Frame {
  readonly node: string;
  readonly link: string;
  /** The number of the first message. */
  readonly first: number;
  readonly messages: readonly FrameMessage[];
}

export interface FrameMessage {
  readonly channel: string;
  readonly message: string;
}

/** One message, ready to be joined with others. */
export function encodeMessage(channel: string, message: string): string {
  return `${channel.length} ${message.length}\n${channel}${message}`;
}

export function encodeFrame(node: string, link: string, first: number, encoded: readonly string[]): string {
  return `M1 ${node} ${link} ${first} ${encoded.length}\n${encoded.join("")}`;
}

/** Undefined for anything that is not a whole frame of this version. */
export function decodeFrame(text: string): Frame | undefined {
  const headerEnd = text.indexOf("\n");
  if (headerEnd === -1) return undefined;
  const [version, node, link, firstText, countText] = text.slice(0, headerEnd).split(" ");
  const first = readNumber(firstText);
  const count = readNumber(countText);
  if (version !== "M1" || !node || !link || first === undefined || count === undefined) return undefined;

  const messages: FrameMessage[] = [];
  let at = headerEnd + 1;
  while (at < text.length) {
    const lengthsEnd = text.indexOf("\n", at);
    if (lengthsEnd === -1) return undefined;
    const [channelText, messageText, ...rest] = text.slice(at, lengthsEnd).split(" ");
    const channelLength = readNumber(channelText);
    const messageLength = readNumber(messageText);
    if (channelLength === undefined || messageLength === undefined || rest.length > 0) return undefined;
    const messageAt = lengthsEnd + 1 + channelLength;
    at = messageAt + messageLength;
    if (at > text.length) return undefined;
    messages.push({ channel: text.slice(lengthsEnd + 1, messageAt), message: text.slice(messageAt, at) });
  }
  return messages.length === count ? { node, link, first, messages } : undefined;
}

function readNumber(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
