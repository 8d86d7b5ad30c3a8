/** What every receiver over HTTP or gRPC limits of one request. */
export interface BodyLimits {
  /** Body as sent; answered with 413, by gRPC with RESOURCE_EXHAUSTED. */
  readonly bodyBytesMax: number;
  /** Body after decompression; answered the same way. */
  readonly decodedBytesMax: number;
}

export const bodyLimits: BodyLimits = {
  bodyBytesMax: 32 * 1024 * 1024,
  decodedBytesMax: 64 * 1024 * 1024,
};
