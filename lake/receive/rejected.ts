/** What of a request was not taken, while the rest was: points, lines or values. */
export interface Rejected {
  count: number;
  /** The first few reasons, each once. */
  readonly messages: string[];
}

const messagesMax = 5;

export const noneRejected = (): Rejected => ({ count: 0, messages: [] });

export function noteRejected(rejected: Rejected, message: string, count = 1): void {
  rejected.count += count;
  if (rejected.messages.length < messagesMax && !rejected.messages.includes(message))
    rejected.messages.push(message);
}
