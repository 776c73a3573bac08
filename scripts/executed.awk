# Prints the instructions that a program executed between its calls of begin_of_layer and
# end_of_layer, one after another as assembly. Reads the program's disassembly (`objdump -d
# --no-show-raw-insn`) and then the emulator's record (`-singlestep -d exec,nochain`).
#
# Where jumps lead does not matter, since what was executed there follows. Calls and returns become
# plain jumps: llvm-mca would assume 100 cycles for each.
FNR == NR {
    if (!match($0, /^ +[0-9a-f]+:\t/)) next
    address = $1
    sub(/:/, "", address)
    text = substr($0, RSTART + RLENGTH)
    sub(/[ \t]*(\/\/|<).*/, "", text)
    split(text, part, "\t")
    if (part[1] == "bl") text = "b\t#0"
    else if (part[1] == "blr") text = "br\t" part[2]
    else if (part[1] == "ret") text = "br\tx30"
    else if (part[1] ~ /^(b|b\..*|cbn?z|tbn?z|adrp?)$/) sub(/[0-9a-f]+$/, "#0", text)
    code[address] = text
    next
}
/^Trace / {
    if ($NF == "begin_of_layer") { inside = 1; next }
    if ($NF == "end_of_layer") exit
    if (!inside) next
    split($4, field, "/")
    address = field[2]
    sub(/^0+/, "", address)
    print code[address]
}
