import type { Happening } from "../executor.js";

/** What happens to workers and Redis, kept until it is heard. */
export class Happenings {
  readonly #unheard: Happening[] = [];
  #failure: { error: unknown } | undefined;
  #over = false;
  #wake = () => {};

  warn(message: string, worker?: string): void {
    this.#add({ type: "warning", message, ...(worker === undefined ? {} : { worker }) });
  }

  note(message: string): void {
    this.#add({ type: "note", message });
  }

  /** Whoever hears is thrown this, after all that came before. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake();
  }

  end(): void {
    this.#over = true;
    this.#wake();
  }

  async *heard(): AsyncGenerator<Happening> {
    for (;;) {
      const next = this.#unheard.shift();
      if (next) yield next;
      else if (this.#failure) throw this.#failure.error;
      else if (this.#over) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }

  #add(happening: Happening): void {
    this.#unheard.push(happening);
    this.#wake();
  }
}
