// What a table's columns are, and the order that they are in.

export interface Column {
  readonly key: string;
  readonly label: string;
  /** Said aloud where the label is empty or too short. */
  readonly title?: string;
  /** CSS length; without one the column shares what is left. */
  readonly width?: string;
  readonly align?: 'end';
  readonly sortable?: boolean;
  /** The first click puts the greatest on top: for loads and counts. */
  readonly descendingFirst?: boolean;
}

/** As the API has it: `name`, or `-name` for the greatest first. */
export type Order = string;

export function direction(order: Order, key: string): 'ascending' | 'descending' | 'none' {
  if (order === key) return 'ascending';
  return order === `-${key}` ? 'descending' : 'none';
}

/** The order after a click on a column's head. */
export function turned(order: Order, column: Column): Order {
  const now = direction(order, column.key);
  if (now === 'none') return column.descendingFirst === true ? `-${column.key}` : column.key;
  return now === 'ascending' ? `-${column.key}` : column.key;
}
