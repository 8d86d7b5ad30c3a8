/** What one remote-write request may hold. Meeting one refuses the whole request and stores nothing of it. */
export interface RemoteWriteLimits {
  /** Body as sent; answered with 413. */
  readonly bodyBytesMax: number;
  /** Body after decompression; answered with 413. */
  readonly decodedBytesMax: number;
  readonly seriesPerRequestMax: number;
  readonly labelsPerSeriesMax: number;
  readonly labelNameBytesMax: number;
  readonly labelValueBytesMax: number;
}

export const remoteWriteLimits: RemoteWriteLimits = {
  bodyBytesMax: 32 * 1024 * 1024,
  decodedBytesMax: 64 * 1024 * 1024,
  seriesPerRequestMax: 200_000,
  labelsPerSeriesMax: 128,
  labelNameBytesMax: 1024,
  labelValueBytesMax: 16 * 1024,
};
