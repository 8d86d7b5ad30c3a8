import { writeRequestBody } from '../../lake/receive/remote-write/encode.fixture.ts';
import { call } from './firn.ts';

/** Sends rows of one series by remote write 1.0; to a cloud, with a key. */
export function writeSamples(
  base: string,
  name: string,
  samples: readonly (readonly [timestampMs: number, value: number])[],
  key?: Parameters<typeof call>[1],
): Promise<Response> {
  return call(`${base}/api/v1/write`, key, {
    method: 'POST',
    body: Buffer.from(writeRequestBody([{ labels: [['__name__', name]], samples }])),
    headers: {
      'Content-Type': 'application/x-protobuf',
      'Content-Encoding': 'snappy',
      'X-Prometheus-Remote-Write-Version': '0.1.0',
    },
  });
}
