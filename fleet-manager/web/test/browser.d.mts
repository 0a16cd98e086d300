import type { Page } from 'playwright-core';

export function openBrowser(options?: {
  width?: number;
  height?: number;
  phone?: boolean;
}): Promise<{ page: Page; close: () => Promise<void> }>;

export function openCrowd(): Promise<{
  person: (options?: {
    width?: number;
    height?: number;
    phone?: boolean;
  }) => Promise<{ page: Page; close: () => Promise<void> }>;
  close: () => Promise<void>;
}>;
