// Prints what the official parser says of the document whose path is the first argument.
const { Parser } = require('@asyncapi/parser');
const { readFileSync } = require('node:fs');

new Parser().parse(readFileSync(process.argv[2], 'utf8')).then(({ document, diagnostics }) => {
  const problems = diagnostics.filter((each) => each.severity <= 1);
  process.stdout.write(JSON.stringify({
    channels: document ? document.channels().length : 0,
    operations: document ? document.operations().length : 0,
    problems: problems.map((each) => `${each.path.join('.')}: ${each.message}`),
  }));
});
