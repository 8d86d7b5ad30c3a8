// Rows of the corpus' files of LogQL, as its README describes them: what our checks read of them.

type Texts = Readonly<Record<string, string>>;

interface Row {
  readonly id: string;
}

/** `query_hex` in place of `query`: bytes that are no UTF-8. */
interface QueryRow extends Row {
  readonly query?: string;
  readonly query_hex?: string;
  readonly api?: string;
}

interface FailRow extends QueryRow {
  readonly match: 'equals' | 'contains' | 'any';
  readonly error?: string;
}

interface StageRow extends Row {
  readonly stages: string;
  readonly must_fail?: boolean;
  readonly error_contains?: string;
}

interface PrintRow extends Row {
  readonly in: string;
  readonly out: string;
}

interface PipelineRow extends Row {
  readonly stages: string;
  readonly input: {
    readonly stream_labels: Texts;
    readonly structured_metadata?: Texts;
    readonly line: string;
    readonly ts_ns?: number;
  };
  readonly expect: { readonly keep?: boolean; readonly labels?: Texts; readonly line?: string };
  /** Of cases that are not expressible as queries. */
  readonly why?: string;
  readonly injected_error?: { readonly __error__?: string; readonly __error_details__?: string };
}

interface LineRow extends Row {
  readonly query: string;
  readonly stream_labels: Texts;
  readonly line: string;
  readonly match: boolean;
}

interface PatternRow extends Row {
  readonly pattern: string;
  readonly line: string;
  readonly captures: readonly string[];
  readonly full_match: boolean;
}

interface PathRow extends Row {
  readonly kind: string;
  readonly expression: string;
  readonly path: readonly (string | number)[] | null;
  readonly error: string | null;
}

/** By the name of their file; those of cases that need no server. */
export interface RowsInProcess {
  readonly parse_ok: QueryRow;
  readonly parse_fail: FailRow;
  readonly stage_fail: StageRow;
  readonly stringify: PrintRow;
  readonly format: PrintRow & { readonly max_chars_per_line: number };
  readonly pipeline: PipelineRow;
  readonly line_match: LineRow;
  readonly pattern: PatternRow;
  readonly expr_parse: PathRow;
}

interface MockedStream {
  readonly labels: Texts;
  /** Nanoseconds from the cases' beginning, and the line. */
  readonly entries: readonly (readonly [ns: number, line: string])[];
}

/** A series of samples, or a stream of lines. */
export interface MockedSeries {
  readonly labels?: Texts;
  readonly samples?: readonly (readonly [ns: number, value: number])[];
  readonly stream?: MockedStream;
}

interface ExpectedSeries {
  readonly labels: Texts;
  readonly entries?: MockedStream['entries'];
  readonly values?: readonly (readonly [ms: number, value: number])[];
  readonly t_ms?: number;
  readonly value?: number;
}

export interface ExpectedAnswer {
  readonly type?: 'vector' | 'matrix' | 'scalar' | 'streams';
  readonly error?: string;
  readonly result?: readonly ExpectedSeries[];
  readonly t_ms?: number;
  readonly value?: number;
}

interface EngineCase extends Row {
  readonly query: string;
  readonly direction: string;
  readonly limit: number;
  /** How the mocked data becomes what is pushed. */
  readonly replay: string;
  readonly caveat?: string;
  readonly data: readonly { readonly selector: string; readonly series: readonly MockedSeries[] }[];
  readonly expect: ExpectedAnswer;
}

export type InstantCase = EngineCase & { readonly mode: 'instant'; readonly ts_ns: number };
type RangeCase = EngineCase & {
  readonly mode: 'range';
  readonly start_ns: number;
  readonly end_ns: number;
  readonly step_ns: number;
  readonly interval_ns: number;
};

/** Cases of the engine. */
export type EngineRow = InstantCase | RangeCase;
