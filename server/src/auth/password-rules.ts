/** What is wrong with a new password, as the end of "the password ..."; undefined if nothing is. */
export function weaknessOf(password: string, local: string, length: number): string | undefined {
  const characters = Array.from(password);
  if (characters.length < length) return `is shorter than ${length} characters`;
  if (new Set(characters).size < MIN_DISTINCT) return `has fewer than ${MIN_DISTINCT} different characters`;
  if (local.length >= MIN_TELLING && password.toLowerCase().replaceAll(local, "").length < length / 2) {
    return "is little more than the account's name";
  }
  return undefined;
}

const MIN_DISTINCT = 5;
/** A shorter name may well be part of a good password. */
const MIN_TELLING = 3;
