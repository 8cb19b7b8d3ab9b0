"""The look of the lab: the page's own colours where it has some (JupyterLab, VS Code, Colab), light ones elsewhere."""

# Blue and vermilion are told apart by every kind of colour vision; on dark pages both are lighter. Contrasts are 4.5 and more.
CSS = """<style>
.cxrkit-lab{--cx-ink:var(--jp-ui-font-color1,var(--vscode-foreground,var(--colab-primary-text-color,#1b1b1b)));
 --cx-soft:var(--jp-ui-font-color2,var(--vscode-descriptionForeground,var(--colab-primary-text-color,#555)));
 --cx-line:var(--jp-border-color1,var(--vscode-panel-border,#bbb));
 --cx-paper:var(--jp-layout-color1,var(--vscode-editor-background,var(--colab-primary-surface-color,#fff)));
 --cx-well:#0b6ba8;--cx-ill:#b84300;--cx-band:#7f7f7f33;color:var(--cx-ink);max-width:1100px}
body[data-jp-theme-light="false"] .cxrkit-lab,body.vscode-dark .cxrkit-lab,html[theme="dark"] .cxrkit-lab{
 --cx-well:#6cc0f5;--cx-ill:#ff9a5c;--cx-soft:#c8c8c8;--cx-band:#ffffff2e}
.cxrkit-lab .widget-html,.cxrkit-lab .widget-html-content,.cxrkit-lab .jupyter-widgets{line-height:1.35;overflow:visible}
.cxrkit-lab .widget-html-content{width:100%;color:var(--cx-ink)}
.cxrkit-lab .cx-controls{flex-wrap:wrap;gap:2px 14px;align-items:center}
.cxrkit-lab .cx-rules{flex-wrap:wrap}
.cxrkit-lab .widget-button{height:auto;min-height:28px;line-height:1.3;padding:3px 10px}
.cxrkit-lab .widget-label,.cxrkit-lab .widget-readout{color:var(--cx-ink)}
.cxrkit-lab p{margin:.35em 0}
.cxrkit-lab .cx-sentence{font-size:1.12em;font-weight:600;min-height:2.7em}
.cxrkit-lab .cx-banner{border-left:4px solid var(--cx-ill);padding:.2em .7em;margin:.2em 0}
.cxrkit-lab .cx-panels{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(290px,100%),1fr));gap:10px 16px;align-items:start}
.cxrkit-lab figure{margin:0}
.cxrkit-lab figcaption{font-size:.93em;color:var(--cx-ink)}
.cxrkit-lab .cx-title,.cxrkit-lab caption{font-weight:600;text-align:left;padding:0 0 2px;color:var(--cx-ink);caption-side:top}
.cx-svg{display:block;width:100%;height:auto;max-width:430px}
.cx-svg text{font-size:11px;font-family:var(--jp-ui-font-family,sans-serif);fill:var(--cx-ink)}
.cx-svg .cx-note{font-size:11.5px;font-weight:600;paint-order:stroke;stroke:var(--cx-paper);stroke-width:3px}
.cx-grid{stroke:var(--cx-line);stroke-width:.6;opacity:.55;fill:none}
.cx-axis{stroke:var(--cx-soft);fill:none}
.cx-band{fill:var(--cx-band)}
.cx-bar-ill{fill:var(--cx-ill)}.cx-bar-well{fill:var(--cx-well)}
.cx-hatch path{stroke:var(--cx-paper);stroke-width:2.2;fill:none}
.cx-bar-edge{fill:none;stroke:var(--cx-ink);stroke-width:.8}
.cx-threshold{stroke:var(--cx-ink);stroke-width:1.8;stroke-dasharray:6 3;fill:none}
.cx-best{stroke:var(--cx-soft);stroke-width:1.3;stroke-dasharray:1.5 2.5;fill:none}
.cx-curve{stroke:var(--cx-well);stroke-width:2;fill:none}
.cx-curve-2{stroke:var(--cx-ill);stroke-width:2;stroke-dasharray:7 3;fill:none}
.cx-chance{stroke:var(--cx-soft);stroke-dasharray:1.5 3;fill:none}
.cx-guide{stroke:var(--cx-soft);stroke-width:.8;fill:none}
.cx-halo{stroke:var(--cx-paper);stroke-width:6;fill:none}.cx-cross{stroke:var(--cx-ink);stroke-width:2.6;fill:none}
.cx-dot{fill:var(--cx-well);stroke:var(--cx-paper)}.cx-square{fill:var(--cx-ill);stroke:var(--cx-paper)}
.cx-whisker{stroke:var(--cx-well);stroke-width:1.1;fill:none}
.cxrkit-lab table{border-collapse:collapse;font-size:13px;margin:0;color:var(--cx-ink);background:transparent}
.cxrkit-lab th,.cxrkit-lab td{padding:3px 8px;text-align:right;border-bottom:1px solid var(--cx-line);font-variant-numeric:tabular-nums;
 background:transparent;color:var(--cx-ink);vertical-align:baseline}
.cxrkit-lab th{font-weight:600}.cxrkit-lab tbody th,.cxrkit-lab thead th:first-child{text-align:left}
.cxrkit-lab td small{color:var(--cx-soft);font-size:12px;white-space:nowrap}
.cxrkit-lab .cx-scroll{overflow-x:auto}
.cxrkit-lab .cx-matrix td,.cxrkit-lab .cx-matrix th{padding:3px 5px}
.cxrkit-lab .cx-numbers td,.cxrkit-lab .cx-numbers th{padding:3px 4px}
.cxrkit-lab .cx-matrix td{min-width:80px;text-align:center}
.cxrkit-lab .cx-matrix b{font-size:20px;display:block;line-height:1.15}
.cxrkit-lab .cx-wrong{border:2px dashed var(--cx-ink)!important}
.cxrkit-lab .cx-right{border:2px solid var(--cx-line)!important}
.cxrkit-lab .cx-films{display:flex;flex-wrap:wrap;gap:8px;margin:.2em 0 .8em;padding:0;list-style:none}
.cxrkit-lab .cx-films li{width:104px;margin:0;font-size:12px;overflow-wrap:anywhere}
.cxrkit-lab .cx-films img,.cxrkit-lab .cx-blank{width:104px;height:104px;display:block;border:1px solid var(--cx-line);box-sizing:border-box;object-fit:cover}
</style>"""
