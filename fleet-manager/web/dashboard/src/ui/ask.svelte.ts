// Asks once before something that cannot simply be taken back, and says what will happen.

export interface Question {
  readonly title: string;
  /** What will happen, one sentence each; the first is the most important. */
  readonly consequences: readonly string[];
  /** Names the deed: "Reboot the box", never "OK". */
  readonly confirm: string;
  /** Ends, cuts off or deletes something. */
  readonly danger?: boolean;
  /** Something to type: a reason, a length of time. */
  readonly input?: {
    readonly label: string;
    readonly hint?: string;
    readonly initial?: string;
    readonly required?: boolean;
    readonly maxLength?: number;
  };
  /** Does it. The dialog stays open, and shows the error, when this throws. */
  readonly run: (input: string) => Promise<unknown>;
}

class Asker {
  question = $state.raw<Question | null>(null);
  private settle: (done: boolean) => void = () => {};

  /** Resolves to whether it was done. */
  ask(question: Question): Promise<boolean> {
    this.settle(false);
    this.question = question;
    return new Promise((resolve) => (this.settle = resolve));
  }

  close(done: boolean): void {
    this.question = null;
    this.settle(done);
    this.settle = () => {};
  }
}

export const asker = new Asker();

export function ask(question: Question): Promise<boolean> {
  return asker.ask(question);
}
