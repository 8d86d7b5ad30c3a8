import { fixed32Tag, fixed64Tag, messageTag, varintTag } from './wire.ts';

/** Fields of a LogRecord (opentelemetry/proto/logs/v1/logs.proto). */
export const timeTag = fixed64Tag(1);
export const severityNumberTag = varintTag(2);
export const severityTextTag = messageTag(3);
export const bodyTag = messageTag(5);
export const attributesTag = messageTag(6);
export const droppedTag = varintTag(7);
export const flagsTag = fixed32Tag(8);
export const traceTag = messageTag(9);
export const spanTag = messageTag(10);
export const observedTag = fixed64Tag(11);
export const eventNameTag = messageTag(12);
