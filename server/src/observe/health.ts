/** What the load balancer hears: 200 takes clients, 404 takes no new ones (draining), 503 is broken. */
export type Readiness = { readonly status: 200 | 404 | 503; readonly text: string };

/** Whether this node can serve, from the checks of its parts. */
export class Health {
  readonly #checks = new Map<string, () => boolean>();
  #phase: "starting" | "serving" | "draining" = "starting";

  /** `check` is asked at each look and must answer at once. */
  add(part: string, check: () => boolean): void {
    this.#checks.set(part, check);
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
    const broken = [...this.#checks].filter(([, check]) => !check()).map(([part]) => part);
    return broken.length === 0 ? { status: 200, text: "ready" } : { status: 503, text: `broken: ${broken.join(", ")}` };
  }
}
