/** Which state the rows of a table are in, for who remembers what was made of them. */
export interface RowVersions {
  /** Whose rows: who sees others has another. */
  readonly scope: string;
  /**
   * Looks at the state of this moment, as far as it is about some time. Milliseconds since the Unix epoch, inclusive here
   * and in what it gives.
   */
  look(fromMs: number, toMs: number): Promise<VersionOf>;
}

/** A text that is another one whenever rows of this time may be others; undefined while they change all the time. */
export type VersionOf = (fromMs: number, toMs: number) => string | undefined;
