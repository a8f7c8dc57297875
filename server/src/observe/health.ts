/** What the load balancer hears: 200 takes clients, 404 takes no new ones (draining), 503 is broken. */
export type Readiness = { readonly status: 200 | 404 | 503; readonly text: string };

/** Whether this node can serve, from the checks of its parts. */
export class Health {
  readonly #needed = new Map<string, () => boolean>();
  readonly #useful = new Map<string, () => boolean>();
  #phase: "starting" | "serving" | "draining" = "starting";

  /** A part that the node cannot serve without. `check` is asked at each look and must answer at once. */
  add(part: string, check: () => boolean): void {
    this.#needed.set(part, check);
  }

  /** A part that some clients can do without: when it is not well the node says so, and goes on. */
  note(part: string, check: () => boolean): void {
    this.#useful.set(part, check);
  }

  serving(): void {
    this.#phase = "serving";
  }

  draining(): void {
    this.#phase = "draining";
  }

  readiness(): Readiness {
    if (this.#phase === "draining") return { status: 404, text: "draining" };
    if (this.#phase === "starting") return { status: 503, text: "starting" };
    const broken = unwell(this.#needed);
    const missing = unwell(this.#useful);
    if (broken.length > 0) return { status: 503, text: `broken: ${[...broken, ...missing].join(", ")}` };
    return { status: 200, text: missing.length === 0 ? "ready" : `ready, without ${missing.join(", ")}` };
  }
}

function unwell(checks: ReadonlyMap<string, () => boolean>): string[] {
  return [...checks].filter(([, check]) => !check()).map(([part]) => part);
}
