import { describe, expect, it } from 'vitest';

import { browserName } from '../../src/words/browser';
import { bestServer, busyness, serverOf } from '../../src/words/ingest';

describe('ingest servers', () => {
  it('are what stands in front of the key', () => {
    expect(serverOf('rtmp://box.example/live/{stream_key}')).toBe('rtmp://box.example/live');
    expect(serverOf('rtmp://box.example/live/')).toBe('rtmp://box.example/live');
  });

  it('are encrypted where they can be', () => {
    const ingest = {
      _id: 'a',
      name: 'A',
      availability: 1,
      default: true,
      priority: 0,
      url_template: 'rtmp://a/live/{stream_key}',
    };
    expect(bestServer(ingest)).toBe('rtmp://a/live');
    expect(bestServer({ ...ingest, url_template_secure: 'rtmps://a/live/{stream_key}' })).toBe(
      'rtmps://a/live',
    );
    expect(bestServer({ ...ingest, url_template_secure: '' })).toBe('rtmp://a/live');
  });

  it('are free, busy or full', () => {
    expect([1, 0.5, 0.1, 0].map(busyness)).toEqual(['free', 'busy', 'nearly full', 'full']);
  });
});

describe('browserName', () => {
  it('says what people call it', () => {
    const chrome =
      'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36';
    const safari =
      'Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 Version/19.0 Mobile/15E148 Safari/604.1';
    expect(browserName(chrome)).toBe('Chrome on Linux');
    expect(browserName(`${chrome} Edg/140.0`)).toBe('Edge on Linux');
    expect(browserName(safari)).toBe('Safari on iPhone');
    expect(browserName('curl/8.1')).toBe('curl');
    expect(browserName('')).toBe('A browser');
  });
});
