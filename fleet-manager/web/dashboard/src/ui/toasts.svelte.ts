// Short messages about what was done, and what failed.

import { sentence } from '../api/problem';

export interface Toast {
  readonly id: number;
  readonly kind: 'done' | 'failed' | 'info';
  readonly text: string;
}

/** Long enough to read two sentences twice. */
const STAY_MS = 7_000;
/** More than this many hide the page; the oldest goes. */
const MOST = 4;

class Toasts {
  list = $state.raw<readonly Toast[]>([]);
  private next = 1;

  done(text: string): void {
    this.add('done', text);
  }

  info(text: string): void {
    this.add('info', text);
  }

  /** `error`: what was thrown. Stays until it is dismissed: nobody should miss that something did not happen. */
  failed(error: unknown): void {
    this.add('failed', typeof error === 'string' ? error : sentence(error));
  }

  dismiss(id: number): void {
    this.list = this.list.filter((toast) => toast.id !== id);
  }

  private add(kind: Toast['kind'], text: string): void {
    const id = this.next;
    this.next += 1;
    const others = this.list.filter((toast) => toast.text !== text);
    this.list = [...others, { id, kind, text }].slice(-MOST);
    if (kind !== 'failed') setTimeout(() => this.dismiss(id), STAY_MS);
  }
}

export const toasts = new Toasts();
