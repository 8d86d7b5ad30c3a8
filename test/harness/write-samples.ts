import { writeRequestBody } from '../../lake/receive/remote-write/encode.fixture.ts';

/** Sends rows of one series by remote write 1.0. */
export function writeSamples(
  base: string,
  name: string,
  samples: readonly (readonly [timestampMs: number, value: number])[],
): Promise<Response> {
  return fetch(`${base}/api/v1/write`, {
    method: 'POST',
    body: Buffer.from(writeRequestBody([{ labels: [['__name__', name]], samples }])),
    headers: {
      'Content-Type': 'application/x-protobuf',
      'Content-Encoding': 'snappy',
      'X-Prometheus-Remote-Write-Version': '0.1.0',
    },
  });
}
