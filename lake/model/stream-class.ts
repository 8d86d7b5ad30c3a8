/** What streams are worth when not all can be kept or sent at once, the most valuable first. */
export const streamClasses = ['alarms', 'metrics', 'logs'] as const;
export type StreamClass = (typeof streamClasses)[number];
