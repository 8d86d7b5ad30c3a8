/** Limits of one Loki push request. Meeting one refuses the whole request. */
export interface LokiPushLimits {
  /** Body as sent; answered with 413. */
  readonly bodyBytesMax: number;
  /** Body after decompression; answered with 413. */
  readonly decodedBytesMax: number;
  readonly streamsPerRequestMax: number;
  readonly lineBytesMax: number;
  /** Names and values of the structured metadata of one line. */
  readonly metadataBytesMax: number;
}

export const lokiPushLimits: LokiPushLimits = {
  bodyBytesMax: 32 * 1024 * 1024,
  decodedBytesMax: 64 * 1024 * 1024,
  streamsPerRequestMax: 100_000,
  lineBytesMax: 1024 * 1024,
  metadataBytesMax: 64 * 1024,
};
