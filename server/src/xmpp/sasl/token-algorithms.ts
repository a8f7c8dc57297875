/** The signatures of tokens (RFC 7518 3.1, RFC 8037 3.1), with the kind of key that each takes, as Node calls it. */
export const TOKEN_ALGORITHMS = {
  HS256: "secret",
  HS384: "secret",
  HS512: "secret",
  RS256: "rsa",
  RS384: "rsa",
  RS512: "rsa",
  PS256: "rsa",
  PS384: "rsa",
  PS512: "rsa",
  ES256: "prime256v1",
  ES384: "secp384r1",
  ES512: "secp521r1",
  EdDSA: "ed25519",
} as const;
export type TokenAlgorithm = keyof typeof TOKEN_ALGORITHMS;

const ALL = Object.keys(TOKEN_ALGORITHMS) as TokenAlgorithm[];

/** Those with public keys; a secret is never checked by one of them, nor a public key by one of the others. */
export const PUBLIC_KEY_ALGORITHMS: readonly TokenAlgorithm[] = ALL.filter((alg) => TOKEN_ALGORITHMS[alg] !== "secret");

/** RFC 7518 3.2: those for which a secret is long enough. */
export function secretAlgorithms(bytes: number): readonly TokenAlgorithm[] {
  return ALL.filter((alg) => TOKEN_ALGORITHMS[alg] === "secret" && bytes * 8 >= Number(alg.slice(2)));
}
