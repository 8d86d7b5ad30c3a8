/** What one remote-write request may hold. Meeting one refuses the whole request and stores nothing of it. */
export interface RemoteWriteLimits {
  /** Body as sent; answered with 413. */
  readonly bodyBytesMax: number;
  /** Body after decompression; answered with 413. */
  readonly decodedBytesMax: number;
  readonly seriesPerRequestMax: number;
  /** Samples, histograms and exemplars: an empty one has two bytes on the wire, but takes a row. */
  readonly rowsPerRequestMax: number;
  readonly metadataPerRequestMax: number;
  /** Of 2.0's table. */
  readonly symbolsPerRequestMax: number;
}

export const remoteWriteLimits: RemoteWriteLimits = {
  bodyBytesMax: 32 * 1024 * 1024,
  decodedBytesMax: 64 * 1024 * 1024,
  seriesPerRequestMax: 200_000,
  rowsPerRequestMax: 2_000_000,
  metadataPerRequestMax: 100_000,
  symbolsPerRequestMax: 1_000_000,
};
