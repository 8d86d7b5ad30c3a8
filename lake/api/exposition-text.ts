/** A metric with its samples, as Prometheus scrapes it. */
export interface Exposed {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  readonly samples: readonly ExposedSample[];
}

interface ExposedSample {
  readonly value: number;
  readonly labels?: Readonly<Record<string, string>>;
}

export const expositionType = 'text/plain; version=0.0.4; charset=utf-8';

/** Prometheus' text format 0.0.4. What is not a number was not measured, and is left out. */
export function expositionText(metrics: readonly Exposed[]): string {
  return metrics
    .map(({ name, help, type, samples }) => {
      const lines = samples
        .filter(({ value }) => !Number.isNaN(value))
        .map(({ value, labels = {} }) => `${name}${labelText(labels)} ${numberText(value)}\n`);
      if (lines.length === 0) return '';
      return `# HELP ${name} ${escaped(help)}\n# TYPE ${name} ${type}\n${lines.join('')}`;
    })
    .join('');
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(
    ([name, value]) => `${name}="${escaped(value).replaceAll('"', '\\"')}"`,
  );
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

const escaped = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');

const numberText = (value: number): string =>
  Number.isFinite(value) ? String(value) : value > 0 ? '+Inf' : '-Inf';
