# Drives dalli through all it can do, and says what came back; as matrix.py.
# matrix.rb HOST:PORT TAG JSON-OPTIONS
require 'dalli'
require 'digest'
require 'json'
require 'logger'

address, tag, options = ARGV[0], ARGV[1], JSON.parse(ARGV[2])
Dalli.logger = Logger.new(File::NULL)
settings = { compress: options['compress'] || false }
settings[:protocol] = options['protocol'].to_sym if options['protocol']
settings[:namespace] = options['namespace'] if options['namespace']
if options['user']
  settings[:username] = options['user']
  settings[:password] = options['password']
end
$client = c = Dalli::Client.new(address, settings)
keys = []

def say(name, result)
  text = result.inspect
  text = "#{text[0, 100]}... #{text.length}, #{Digest::SHA1.hexdigest(text)}" if text.length > 600
  puts JSON.generate([name, text.encode('UTF-8', 'BINARY', invalid: :replace, undef: :replace)])
  result
end

def try(name)
  result = begin
    yield
  rescue StandardError => e
    "#{e.class}: #{e.message}"
  end
  say(name, result)
end

# A success is the CAS value of what was stored.
def stored(result)
  result.is_a?(Integer) && result.positive? ? true : result
end

hostile = "\x80\xff\x00\r\nEND\r\nVALUE other 0 5\r\nhello\r\n".b
values = { 'text' => "Gr\u00fc\u00dfe #{tag}", 'bytes' => hostile + tag, 'empty' => '', 'zero' => 0, 'integer' => 42, 'float' => 1.25,
           'true' => true, 'false' => false, 'nil' => nil, 'symbol' => tag.to_sym, 'list' => [1, 2.5, nil, tag],
           'hash' => { id: 7, 'tag' => tag }, '100k' => "0123456789abcdef#{tag}" * 5000,
           'large' => "\r\nEND\r\n #{tag}" * 60_000 }
values.each do |name, value|
  try("get before #{name}") { c.get("v-#{name}") }
  try("set #{name}") { stored(c.set("v-#{name}", value)) }
  got = try("get #{name}") { c.get("v-#{name}") }
  say("same #{name}", got == value)
  keys << "v-#{name}"
end
['k', 'l' * (250 - (options['namespace'] ? options['namespace'].length + 1 : 0)), 'schlüssel'].each do |key|
  try('set') { stored(c.set(key, "#{tag}1")) }
  try('add') { stored(c.add(key, "#{tag}2")) }
  try('replace') { stored(c.replace(key, "#{tag}3")) }
  try('get') { c.get(key) }
  try('cas') { stored(c.cas(key) { |value| "#{value} swapped" }) }
  try('get swapped') { c.get(key) }
  token = nil
  try('get_cas') { value, token = c.get_cas(key); value }
  try('set_cas') { stored(c.set_cas(key, "#{tag}5", token)) }
  try('set_cas again') { stored(c.set_cas(key, "#{tag}6", token)) }
  try('replace_cas') { stored(c.replace_cas(key, "#{tag}7", token)) }
  try('delete_cas with an old one') { c.delete_cas(key, token) }
  try('get') { c.get(key) }
  try('touch') { c.touch(key, 1000) }
  try('gat') { c.gat(key, 2000) }
  try('set raw') { stored(c.set(key, tag, 0, raw: true)) }
  try('append') { c.append(key, '!') }
  try('prepend') { c.prepend(key, '<') }
  try('get raw') { c.get(key, raw: true) }
  keys << key if key.ascii_only?
end
try('delete') { c.delete('k') }
try('delete again') { c.delete('k') }
try('replace missing') { stored(c.replace('k', 'x')) }
try('touch missing') { c.touch('k', 10) }
try('gat missing') { c.gat('k', 10) }
try('cas missing') { c.cas('k') { |_| 'x' } }
try('append missing') { c.append('k', 'x') }
try('incr missing') { c.incr('n') }
try('incr from') { c.incr('n', 5, nil, 10) }
try('incr') { c.incr('n', 5) }
try('decr') { c.decr('n', 3) }
try('decr below zero') { c.decr('n', 100) }
try('decr from') { c.decr('n2', 5, 1000, 7) }
many = (0...120).map { |number| ["many#{number}", "#{tag}#{number}"] }.to_h
try('multi') { c.multi { many.each { |key, value| c.set(key, value) } }; true }
try('get_multi') { c.get_multi(many.keys + %w[no1 no2]).sort }
try('get_multi_cas') { c.get_multi_cas(many.keys.first(5)).map { |key, (value, _)| [key, value] }.sort }
# Of these all are done: dalli 3.0 leaves the error that a quiet command gets for the next to read, on memcached, too.
try('quiet') { c.multi { c.delete('many0'); c.add('many-new', tag); c.replace('many1', tag); c.incr('n', 1); c.set('q', tag) }; true }
try('get_multi after') { c.get_multi('many0', 'many1', 'no', 'q').sort }
try('fetch') { c.fetch('made', 1000) { "#{tag} made" } }
try('fetch again') { c.fetch('made') { 'other' } }
try('set with a time') { stored(c.set('t', tag, 1000)) }
try('set too large') { stored(c.set('toolarge', Random.new(1).bytes(1_500_000), nil, raw: true)) }
try('get after it') { c.get('t') }
try('set a key that is too long') { stored(c.set('o' * 251, tag)) }
try('get it') { c.get('o' * 251) }
try('set an empty key') { c.set('', 'x') }
try('get after those') { c.get('t') }
try('version') { c.version.size }
try('stats') { c.stats.values.first.key?('version') }
60.times do |number|
  c.set("p#{number}", "#{tag}#{number}")
  say('wrong', number) if c.get("p#{number}") != "#{tag}#{number}"
  keys << "p#{number}"
end
keys.push('n', 'n2', 't', 'q', 'made', 'many100')
if options['flush']
  try('flush') { c.flush }
  try('get after flush') { c.get('t') }
  try('set after flush') { stored(c.set('t', tag)) }
end
c.close
try('get over a new connection') { c.get('t') }
prefix = options['namespace'] ? "#{options['namespace']}:" : ''
puts JSON.generate(['keys', keys.map { |key| prefix + key }])
